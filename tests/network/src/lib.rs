//! The tunnel against a real gateway, by a client without rights, on a network that goes wrong on purpose.
