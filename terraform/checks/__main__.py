"""`python -m terraform.checks`: what is wrong with the deployment, one line each; exit code 1 when anything is."""

import sys

from terraform.checks.everything import faults

if __name__ == "__main__":
    found = list(faults())
    print("\n".join(found) or "terraform: every check holds.")
    sys.exit(1 if found else 0)
