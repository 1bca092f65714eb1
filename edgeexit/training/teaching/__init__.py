"""Loss functions and teachers (distillation)."""
