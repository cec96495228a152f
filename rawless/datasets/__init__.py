"""Datasets: from a spec to an immutable labelled snapshot. Rules lie in `sql/rules`, labels in `sql/labels`."""
