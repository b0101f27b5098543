"""An organisation-management site that mounts infisical_azure."""
