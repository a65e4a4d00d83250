"""Files of a disk: plain ones read, whole ones written so that a power cut leaves them so."""
