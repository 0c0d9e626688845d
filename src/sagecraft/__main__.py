"""`python -m sagecraft`, which torchrun calls: torchrun --nproc-per-node N -m sagecraft run RECIPE."""

from sagecraft.cli import main

if __name__ == "__main__":
    main()
