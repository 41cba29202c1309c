"""The replay memory in segments, so that a checkpoint costs what is new since the last one.

- ``segments.py``     what is new, and all of it from many segments
- ``frame_rows.py``   rows of a FrameReplayBuffer and their frames
- ``plain_rows.py``   rows of SB3's own buffers; ``ring_blocks.py``: of arrays, as LZ4 blocks
"""
