"""The one place where HTML is made and escaped."""
