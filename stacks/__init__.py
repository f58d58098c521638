"""The program: settings, layers, outputs. It composes components and creates nothing itself."""
