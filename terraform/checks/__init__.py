"""What can be known of the deployment without a cloud: `python -m terraform.checks` asks it all, `make check` does."""
