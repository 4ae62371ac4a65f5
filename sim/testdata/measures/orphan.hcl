# Two nodes lose each other in several ways. b asks every second, gives up at once and forgets the tunnel; a has not
# asked yet when the lab ends, or has no means to.
lab "orphan" { duration = var.duration }
variable "duration" {
  type    = string
  default = "20s"
}
variable "cut" {
  type    = string
  default = "link"
}
variable "dpd" {
  type    = string
  default = "30s"
}
variable "tries" {
  type    = number
  default = 5
}
network "n" { prefix = "192.0.2.0/24" }
network "m" { prefix = "198.51.100.0/24" }
node "a" {
  interface "e" {
    network = network.n
    link    = { delay = "10ms" }
  }
  connection "b" {
    remote_addrs     = [node.b.interface.e]
    dpd_delay        = var.dpd
    retransmit_tries = var.tries
    child "c" { start_action = "start" }
  }
}
node "r" {
  implementation = "host"
  forward        = true
  interface "n" { network = network.n }
  interface "m" {
    network = network.m
    mtu     = 1000
    link = {
      delay = "10ms"
      loss  = { model = "gilbert-elliott", p = var.cut == "burst" ? 0.1 : 0.0, r = var.cut == "burst" ? 0.1 : 1.0 }
    }
  }
}
node "b" {
  interface "e" { network = network.m }
  connection "a" {
    remote_addrs     = [node.a.interface.e]
    dpd_delay        = "1s"
    retransmit_tries = 0
    child "c" {}
  }
}
secret "s" { secret = "x" }
step "link" {
  count  = var.cut == "link" ? 1 : 0
  at     = "5s"
  action = link_down(node.b.interface.e)
}
step "router" {
  count  = var.cut == "router" ? 1 : 0
  at     = "5s"
  action = link_down(node.r.interface.n)
}
step "set" {
  count  = var.cut == "set-address" ? 1 : 0
  at     = "5s"
  action = set_address(node.b.interface.e, "198.51.100.77/24")
}
step "remove" {
  count  = var.cut == "remove-address" ? 1 : 0
  at     = "5s"
  action = remove_address(node.b.interface.e, "198.51.100.2/24")
}
step "on-the-way" {
  count  = var.cut == "route" ? 1 : 0
  at     = "5s"
  action = set_address(node.r.interface.m, "198.51.100.99/24")
}
