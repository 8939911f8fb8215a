"""With a real schema registry (Apicurio) and a real Kafka: `make test-registry`. Not part of `make test`."""
