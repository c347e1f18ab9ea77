"""The HTTP surface: routes by topic, over stage handles. It validates, asks and streams, and computes nothing."""
