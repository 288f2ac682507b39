"""The harness of the system tests: real nodes with real processes, in folders and on ports of their
own, so that any number of tests runs side by side. What each module is for stands in its head."""
