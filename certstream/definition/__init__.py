"""Loads `schemas/`: the AsyncAPI document and the JSON Schemas, the only definition of topics and messages."""
