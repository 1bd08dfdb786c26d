"""The same as the command crashdesk-convert."""

from model_assist.crashchat.convert import main

if __name__ == "__main__":
    raise SystemExit(main())
