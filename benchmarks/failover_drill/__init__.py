"""The failover drill: real servers, the desk as `make run` serves it, people at work, and then something breaks."""
