"""Equations: attention, scores, masks, positions, recurrent cells, blocks, state and capture."""
