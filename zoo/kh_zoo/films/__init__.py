"""Films: every frame coloured, steadily along the motion, all else of the file carried over.

Needs the extra `video`: PyAV reads and writes, OpenCV finds the motion.
"""
