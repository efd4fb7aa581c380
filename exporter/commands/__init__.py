"""The command lines export-s2t, check-s2t and compile-s2t: parse, run and main, each callable alone.

Given: a command line. Heavy packages are imported inside run; console is what other commands share.
Open to: benchmarks, exporter.

Goes out:
    console: EXTRA, comma_names, quiet_libraries, require_export_extra, user_errors
"""
