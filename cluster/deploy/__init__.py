"""Deployment files, and the check that holds them to what their README says."""
