"""`python -m terraform.checks`: print every violation on a line of its own and exit with 1 if there is one."""

import sys

from terraform.checks.suite import violations

if __name__ == "__main__":
    messages = list(violations())
    print("\n".join(messages) or "terraform: all checks passed.")
    sys.exit(1 if messages else 0)
