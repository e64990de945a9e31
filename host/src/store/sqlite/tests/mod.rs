//! What only the engine on disk has to do: survive, refuse, and say clearly why.
