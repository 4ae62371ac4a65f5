# Nobody answers: what waits for the tunnel when the run ends is in the account.
lab "unanswered" { duration = "4s" }
network "w" { prefix = "192.0.2.0/24" }
node "a" {
  interface "w" { network = network.w }
  connection "b" {
    remote_addrs = ["192.0.2.99"]
    child "n" { start_action = "trap" }
  }
}
node "b" {
  implementation = "host"
  interface "w" {
    network = network.w
    address = "192.0.2.99"
  }
}
secret "s" { secret = "x" }
flow "f" {
  from    = node.a
  to      = node.b
  start   = "1s"
  packets = 2
}
expect "every packet is named" {
  condition = result.node.a.dropped == result.flow.f.sent
}
