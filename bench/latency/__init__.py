"""How soon a change among a million certificates is an event: the product's own core and service, in virtual time."""
