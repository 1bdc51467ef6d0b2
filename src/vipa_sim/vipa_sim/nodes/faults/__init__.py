"""Fault injection into a running graph: ``ros2 run vipa_sim faults``, ``make faults``. See docs/faults.md.

``processes`` start, signal and end the nodes; ``relays`` stand between the cell's topics and everybody else's;
``injections`` do what the table says; ``monitor`` records; ``run`` goes through the table.
"""
