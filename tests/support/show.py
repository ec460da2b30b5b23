"""What a process has of its container."""

SHOW = """id -u; id -g; id -G; pwd; env | grep -v SHLVL | sort; ulimit -Sc; ulimit -Hc; cat /proc/self/oom_score_adj
grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status"""
"""A script that prints it."""
