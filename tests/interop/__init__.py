"""What the product publishes, read from a real Kafka by foreign clients and SDKs: the programs of `examples/`."""
