"""Faults on real processes: killed, filled, damaged, told to go, and what comes out afterwards."""
