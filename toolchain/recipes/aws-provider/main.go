// Command pulumi-resource-aws bridges the AWS Terraform provider to Pulumi: the types of mapping.json, under the
// tokens and property names of Pulumi's own AWS provider.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/hashicorp/terraform-provider-aws/xpprovider"
	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/x/muxer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	rpc "github.com/pulumi/pulumi/sdk/v3/go/pulumi/provider"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
)

var version = "0.0.0-dev" // set by the linker

//go:embed mapping.json
var mappingJSON []byte

type mapping struct {
	Resources   map[string]string `json:"resources"`
	DataSources map[string]string `json:"dataSources"`
}

// token turns "ec2/VpcEndpoint" into "aws:ec2/vpcEndpoint:VpcEndpoint".
func token(entry string) string {
	module, name, _ := strings.Cut(entry, "/")
	return "aws:" + module + "/" + strings.ToLower(name[:1]) + name[1:] + ":" + name
}

// provider joins the two halves of the Terraform provider, written for its older and its newer framework.
func provider(ctx context.Context) tfbridge.ProviderInfo {
	framework, sdk, err := xpprovider.GetProvider(ctx)
	if err != nil {
		log.Fatalf("the AWS provider cannot be made: %v", err)
	}
	joined := pf.MuxShimWithDisjointgPF(ctx, sdkv2.NewProvider(sdk), framework)
	info := tfbridge.ProviderInfo{
		P: joined, Name: "aws", Version: version,
		EnableZeroDefaultSchemaVersion: true, EnableAccurateBridgePreview: true,
		Resources:   map[string]*tfbridge.ResourceInfo{},
		DataSources: map[string]*tfbridge.DataSourceInfo{},
		Config:      config,
	}
	var types mapping
	if err := json.Unmarshal(mappingJSON, &types); err != nil {
		log.Fatalf("mapping.json: %v", err)
	}
	for name, entry := range types.Resources {
		override := resources[name]
		if override == nil {
			override = &tfbridge.ResourceInfo{}
		}
		override.Tok = tokens.Type(token(entry))
		info.Resources[name] = override
	}
	for name, entry := range types.DataSources {
		info.DataSources[name] = &tfbridge.DataSourceInfo{Tok: tokens.ModuleMember(token(entry))}
	}
	computeAllTags(&info)
	ignoreRest(&info)
	info.SetAutonaming(255, "-")
	dispatch(&info)
	return info
}

// ignoreRest tells the bridge that what is not mapped is left out on purpose.
func ignoreRest(info *tfbridge.ProviderInfo) {
	ignore := func(name string, _ shim.Resource) bool {
		info.IgnoreMappings = append(info.IgnoreMappings, name)
		return true
	}
	info.P.ResourcesMap().Range(ignore)
	info.P.DataSourcesMap().Range(ignore)
}

// dispatch computes which half serves which type: generated providers read this from a file made at build time.
func dispatch(info *tfbridge.ProviderInfo) {
	resolver := info.P.(interface {
		ResolveDispatch(*tfbridge.ProviderInfo) (muxer.DispatchTable, error)
	})
	table, err := resolver.ResolveDispatch(info)
	if err != nil {
		log.Fatalf("mapping.json has a type that the Terraform provider lacks: %v", err)
	}
	metadata, err := json.Marshal(map[string]any{"mux": table})
	if err != nil {
		log.Fatal(err)
	}
	info.MetadataInfo = tfbridge.NewProviderMetadata(metadata)
}

func main() {
	ctx := context.Background()
	if len(os.Args) > 1 && strings.TrimLeft(os.Args[1], "-") == "version" {
		fmt.Println(version)
		return
	}
	info := provider(ctx)
	if len(os.Args) > 1 && os.Args[1] == "-describe" {
		describe(os.Stdout, info)
		return
	}
	serve := pf.MakeMuxedServer(ctx, info.Name, info, []byte("{}"))
	if err := rpc.Main(info.Name, func(host *rpc.HostClient) (pulumirpc.ResourceProviderServer, error) {
		server, err := serve(host)
		return &explained{server, known(info)}, err
	}); err != nil {
		log.Fatal(err)
	}
}
