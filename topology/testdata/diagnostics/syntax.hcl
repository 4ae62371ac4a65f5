lab "syntax" {
  duration = # want: Invalid expression
}
