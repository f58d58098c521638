// Command pulumi-resource-github bridges the GitHub Terraform provider to Pulumi.
package main

import (
	"log"
	"os"

	"github.com/integrations/terraform-provider-github/v6/github"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge/tokens"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
)

var version = "0.0.0-dev" // set by the linker

func main() {
	info := tfbridge.ProviderInfo{
		P: sdkv2.NewProvider(github.NewProvider(version, "")()), Name: "github", Version: version,
		MetadataInfo:                   tfbridge.NewProviderMetadata([]byte("{}")),
		EnableZeroDefaultSchemaVersion: true,
		EnableAccurateBridgePreview:    true,
		Resources:                      resources,
		Config:                         config,
	}
	if err := info.ComputeTokens(tokens.SingleModule("github_", "index", tokens.MakeStandard("github"))); err != nil {
		log.Fatalf("the types of the GitHub provider have no tokens: %v", err)
	}
	info.SetAutonaming(255, "-")
	if len(os.Args) > 1 && os.Args[1] == "-describe" {
		describe(os.Stdout, info)
		return
	}
	tfbridge.Main(info.Name, version, info, []byte("{}"))
}
