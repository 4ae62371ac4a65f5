# A flow against a peer that refuses: by another key, or by other networks. The trap rests between its attempts.
lab "storm" { duration = "6s" }
variable "key" {
  type    = string
  default = "other"
}
variable "ts" {
  type    = string
  default = "10.2.0.0/24"
}
network "l" { prefix = "10.1.0.0/24" }
network "w" { prefix = "192.0.2.0/24" }
network "r" { prefix = "10.2.0.0/24" }
node "a" {
  interface "l" { network = network.l }
  interface "w" {
    network = network.w
    link    = { delay = "10ms" }
  }
  connection "b" {
    remote_addrs = [node.b.interface.w]
    child "n" {
      local_ts     = [network.l]
      remote_ts    = [network.r]
      start_action = "trap"
    }
  }
}
node "b" {
  interface "w" { network = network.w }
  interface "r" { network = network.r }
  connection "a" {
    remote_addrs = [node.a.interface.w]
    child "n" {
      local_ts  = [var.ts]
      remote_ts = [network.l]
    }
  }
}
secret "a" {
  nodes  = [node.a]
  secret = "one"
}
secret "b" {
  nodes  = [node.b]
  secret = var.key
}
flow "f" {
  from    = node.a.interface.l
  to      = node.b.interface.r
  rate    = "100pps"
  start   = "1s"
  packets = 450
}
# At 1 s, a second after the first failure, and two seconds after the second.
expect "three attempts at most" {
  condition     = result.node.a.connection.b.attempts <= 3
  error_message = "${result.node.a.connection.b.attempts} IKE SAs were begun"
}
expect "every packet is named" {
  condition = result.node.a.dropped == result.flow.f.sent
}
expect "a refused child keeps its IKE SA" {
  condition = result.node.a.connection.b.established == (var.key == "one")
}
