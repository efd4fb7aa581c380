"""Where a long recording is cut: from a track of speech probabilities to segments that are decoded one by one.

Given: probabilities, a frame of 512 samples each, in order. No audio and no session is seen here.
Open to: nobody.

Goes out:
"""
