"""What tests that start processes share."""

# Code that prints the peak memory of its process in kB. Not getrusage, where a child starts with its parent's peak.
PRINT_PEAK = "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
