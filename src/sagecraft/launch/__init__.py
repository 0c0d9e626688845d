"""Starting a recipe on several devices: processes of this machine, or a job script for Slurm."""
