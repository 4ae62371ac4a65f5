# Nobody gets what a sends: b's interface is down. Or with trap a node holds it for a tunnel that nobody answers for.
lab "under-way" { duration = "3s" }
variable "trap" {
  type    = bool
  default = false
}
network "n" { prefix = "192.0.2.0/24" }
node "a" {
  interface "e" { network = network.n }
  connection "b" {
    remote_addrs = [node.b.interface.e]
    child "c" {
      local_ts     = [network.n]
      remote_ts    = [var.trap ? "192.0.2.0/24" : "198.51.100.0/24"]
      start_action = var.trap ? "trap" : "none"
    }
  }
}
secret "s" { secret = "x" }
node "b" {
  implementation = "host"
  interface "e" {
    network = network.n
    up      = false
  }
}
flow "f" {
  from = node.a
  to   = node.b
  rate = "20pps"
}
