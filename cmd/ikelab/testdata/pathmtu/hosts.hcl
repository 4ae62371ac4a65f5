# Two hosts whose own traffic their tunnel carries over a narrow path.
lab "pathmtu-hosts" { duration = "9s" }
variable "v6" {
  type    = bool
  default = true
}
variable "encap" {
  type    = bool
  default = false
}
variable "path" {
  type    = number
  default = 1300
}
network "a" { prefix = var.v6 ? "2001:db8:a::/64" : "10.1.0.0/24" }
network "b" { prefix = var.v6 ? "2001:db8:b::/64" : "10.2.0.0/24" }
node "x" {
  interface "e" { network = network.a }
  connection "y" {
    remote_addrs = [node.y.interface.e]
    encap        = var.encap
    child "c" {
      start_action = "start"
    }
  }
}
node "mid" {
  implementation = "host"
  interface "l" { network = network.a }
  interface "r" {
    network = network.b
    mtu     = var.path
  }
}
node "y" {
  interface "e" {
    network = network.b
    mtu     = var.path
  }
  connection "x" {
    remote_addrs = [node.x.interface.e]
    encap        = var.encap
    child "c" {
    }
  }
}
secret "s" { secret = "x" }
locals { sizes = [1200, 1240, 1260, 1280, 1300, 1400, 1460, 3000, 9000] }
flow "udp" {
  count   = length(local.sizes)
  from    = node.x
  to      = node.y
  size    = local.sizes[count.index]
  start   = "${1000 + 100 * count.index}ms"
  rate    = "2pps"
  packets = 10
}
flow "ping" {
  count    = length(local.sizes)
  from     = node.y
  to       = node.x
  protocol = "icmp"
  size     = local.sizes[count.index]
  start    = "${1000 + 100 * count.index}ms"
  rate     = "2pps"
  packets  = 10
}
expect "every size passes" {
  count         = length(local.sizes)
  condition     = result.flow.udp[count.index].lost <= 1 && result.flow.ping[count.index].lost <= 1
  error_message = "${local.sizes[count.index]} bytes: ${result.flow.udp[count.index].lost} datagrams and ${result.flow.ping[count.index].lost} pings of 10 are lost"
}
