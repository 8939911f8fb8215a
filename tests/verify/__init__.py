"""The independent judge of the main job (`make verify-main`): it imports nothing from `certstream`.

`driver` runs the simulator and the service and kills the service; `readers` read the journal back; `judge` compares
what was published with what was true (truth log) and with what a poll could see (answer log). The judge is pure, so
`test_judge` feeds it small forged histories, one for each way to be wrong.
"""
