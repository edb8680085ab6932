"""What is not pure: devices, the command line, files, progress and pictures."""
