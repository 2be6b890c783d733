"""A finished run as a folder that anybody can load, without this platform."""
