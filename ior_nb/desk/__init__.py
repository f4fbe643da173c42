"""What a dashboard is given (`runtime.LiveRuntime`), made of a session or of one finished trace."""

from ior_nb.desk.desk import Desk

__all__ = ["Desk"]
