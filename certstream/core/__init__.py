"""Everything that can be wrong in an interesting way: bytes and times in, values out.

Pure: no await, no clock, no environment, no logging, no I/O. Signing, decoding a page, pacing, sweep bookkeeping,
diff, thresholds, event building and hash chains live here, tested with tables and properties.
"""
