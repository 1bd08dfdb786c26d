"""`python -m model_assist.crashchat`.  Light at import: the frame-reading child imports this module too."""

if __name__ == "__main__":
    from model_assist.crashchat.cli import main

    raise SystemExit(main())
