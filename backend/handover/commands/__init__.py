"""The work behind the command line: functions with plain arguments that can be called and tested."""
