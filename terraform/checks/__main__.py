"""`python -m terraform.checks`: print every violation on a line of its own and exit with 1 if there is one.

With the paths of two files of variables, that of all roots and that of the bootstrap, check the deployment that they
describe instead, and print what was found as JSON.
"""

import json
import sys
from pathlib import Path

from terraform.checks.plan import REPOSITORY
from terraform.checks.suite import report, violations

if __name__ == "__main__":
    if len(sys.argv) > 1:
        json.dump(report(REPOSITORY, Path(sys.argv[1]), Path(sys.argv[2])), sys.stdout)
        sys.exit()
    messages = list(violations())
    print("\n".join(messages) or "terraform: all checks passed.")
    sys.exit(1 if messages else 0)
