"""Many models from one call: requests in, models and a manifest out."""
