"""Diffusion without networks: noise schedules, solvers as tables of scalars, guided sampling."""
