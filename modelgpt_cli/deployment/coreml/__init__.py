"""A folder for Core ML, which runs networks of images on iPhones and Macs."""
