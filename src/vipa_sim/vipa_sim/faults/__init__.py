"""What the graph must do when something fails, and how a recording of it is judged. No ROS, no MuJoCo.

``table`` says what each fault requires, ``stream`` judges setpoints by limits, ``judge`` a whole recording,
``record`` collects one, ``results`` keeps and sums up, ``report`` draws and tells.
Guarded by tests/unit/test_fault_analysis.py.
"""
