"""Text with times, as people read it on a screen: cues of few lines, and the formats that players take.

Given: segments of a transcript. No audio and no model is seen here.
Open to: nobody.

Goes out:
"""
