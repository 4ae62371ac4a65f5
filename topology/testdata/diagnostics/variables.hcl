# Variables and what they must be.
lab "variables" {}
variable "bare" {} # want: Variable "bare" has no value: It has no default; give it one, or a value with --var bare=…. # want: Variable "bare" is not used
variable "typed" {
  type    = number
  default = "many" # want: Wrong type for variable "typed": The default does not fit the type number
}
variable "wrong" {
  type    = nmber # want: nmber
  default = 3
}
variable "ranged" { # want: Invalid value for variable "ranged": 7 is not even
  default = 7
  validation {
    condition     = var.ranged % 2 == 0
    error_message = "${var.ranged} is not even"
  }
  validation {
    condition     = var.ranged # want: A condition is true or false
    error_message = "x"
  }
  validation { # want: Missing error_message
    condition = true
  }
}
variable "unused" { default = 1 } # want: Variable "unused" is not used
locals {
  unused = 1 # want: Local value "unused" is not used
  used   = { deep = 3 }
}
network "lan" { prefix = "10.1.0.0/16" }
network "unused" { prefix = "10.2.0.0/16" } # want: Network "unused" is not used
link "unused" {} # want: Link "unused" is not used
node "a" {
  interface "lan" { network = network.lan }
}
node "b" {
  interface "lan" { network = network.lan }
}
flow "f" {
  from    = node.a
  to      = node.b
  packets = var.typed
  size    = var.ranged + var.wrong
  start   = "${local.used.shallow}s" # want: does not have an attribute named "shallow"
}
