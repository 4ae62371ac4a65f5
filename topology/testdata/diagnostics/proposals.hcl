# Every algorithm that is not available is named at once, in each proposal of each list.
lab "proposals" {}
locals { old = "3des-md5-modp1024,des-aes128-sha1-modp768" }
network "wan" { prefix = "203.0.113.0/24" }
node "a" {
  interface "wan" { network = network.wan }
  connection "b" {
    remote_addrs = [node.b.interface.wan]
    proposals    = split(",", local.old) # want: the algorithm "3des" # want: the algorithm "md5" # want: the algorithm "modp1024" # want: the algorithm "des" # want: the algorithm "modp768"
    child "host" {
      esp_proposals = ["blowfish128-md5", "aes128-sha512x-ecp192-ecp192"] # want: the algorithm "blowfish128" # want: the algorithm "md5" # want: "sha512x" is not an algorithm keyword; did you mean "sha512" # want: the algorithm "ecp192"
    }
  }
}
node "b" {
  interface "wan" { network = network.wan }
  connection "a" {
    remote_addrs = [node.a.interface.wan]
    child "host" {}
  }
}
secret "k" { secret = "one key" }
