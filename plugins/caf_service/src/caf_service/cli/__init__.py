"""The commands of the service, one module each; they import what they need when they are called."""
