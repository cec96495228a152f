"""The file that the Flex Template launcher runs."""

import sys

from rawless.cli.flex_template import launch

if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))
